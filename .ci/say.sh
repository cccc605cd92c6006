# Sourced by the programs beside it: how they speak.

say() {
    printf '==> %s\n' "$*"
}

# What is wrong; then, a line each, what to do next.
give_up() {
    printf '\nmailbot: %s\n' "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}
