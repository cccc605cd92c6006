"""CSV files as people save them: every line is taken or named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from mailbot.core.errors import AudienceError, InputError
from mailbot.outbound.audience import Audience, Duplicate, read_audience
from mailbot.outbound.audience_rows import BadLine


def read(folder: Path, content: str | bytes, column: str | None = None) -> Audience:
    path = folder / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_audience(path, column)


def addresses(audience: Audience) -> list[str]:
    return [line.address.text for line in audience.lines()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_save_can_be_read(
    tmp_path: Path, delimiter: str, mark: str, end: str
) -> None:
    lines = [
        ("email", "first_name"),
        ("ann@example.org", "Ann"),
        ("zoë@example.org", '"Zoë, B;\t"'),
    ]
    audience = read(tmp_path, mark + "".join(delimiter.join(cells) + end for cells in lines))
    assert audience.columns == ("email", "first_name")
    assert [(line.line, line.address.text, line.fields["first_name"])
            for line in audience.lines()] == [
        (2, "ann@example.org", "Ann"), (3, "zoë@example.org", "Zoë, B;\t".strip()),
    ]  # fmt: skip
    assert (audience.good, audience.bad) == (2, 0)


@pytest.mark.parametrize(
    "heading",
    ["email", "E-Mail", "e_mail address", "MAIL", "Address", "E-Mail-Adresse", "Courriel"],
)
def test_the_column_of_addresses_is_found_by_its_name(tmp_path: Path, heading: str) -> None:
    audience = read(tmp_path, f"name,{heading}\nAnn,ann@example.org\n")
    assert addresses(audience) == ["ann@example.org"]


def test_where_somebody_lives_is_no_mail_address(tmp_path: Path) -> None:
    audience = read(tmp_path, "address,email\n1 Quay,ann@example.org\n")
    assert addresses(audience) == ["ann@example.org"]


def test_the_column_can_be_named(tmp_path: Path) -> None:
    content = "Email,Kunde\nold@example.org,ann@example.org\n"
    assert addresses(read(tmp_path, content, "kunde")) == ["ann@example.org"]


def test_headings_become_fields_that_a_template_can_name(tmp_path: Path) -> None:
    audience = read(tmp_path, "E-Mail,First name,2nd\nann@example.org, Ann ,x\n")
    assert audience.columns == ("E_Mail", "First_name", "_2nd")
    [line] = audience.lines()
    assert line.fields == {"E_Mail": "ann@example.org", "First_name": "Ann", "_2nd": "x"}


def test_bad_lines_are_named_by_their_number_and_the_good_ones_are_kept(tmp_path: Path) -> None:
    audience = read(
        tmp_path,
        'email,name\nann@example.org,"An\nn"\n\nnobody,N\n,O\n,\nx@example.org\n'
        '"bo"b@example.org,B\na@b.org b@b.org,T\nzoe@example.org,Z\nn\0@example.org,N\n',
    )
    assert audience.bad_lines == (
        BadLine(5, "'nobody' is not an address"),
        BadLine(6, "it has no address"),
        BadLine(8, "it has 1 columns, the heading 2"),
        BadLine(9, "a quotation mark stands where none can be read"),
        BadLine(10, "'a@b.org b@b.org' holds several addresses"),
        BadLine(12, "it holds a NUL character"),
    )
    assert audience.bad == 6
    assert [(line.line, line.address.text) for line in audience.lines()] == [
        (2, "ann@example.org"), (11, "zoe@example.org"),
    ]  # fmt: skip


def test_one_person_in_two_spellings_is_a_duplicate(tmp_path: Path) -> None:
    audience = read(
        tmp_path, "email\nann@example.org\nbob@example.org\nANN@Example.ORG\nann+x@example.org\n"
    )
    assert (audience.duplicate, audience.duplicates) == (1, (Duplicate(4, 2),))


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b"email\nann@example.org\nzo\xeb@example.org\n", "line 3", "byte 0xeb is not UTF-8"),
        (b"PK\x03\x04\x14\0", "line 1", "a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", "line 1", "a workbook"),
        (b"", "line 1", "empty"),
        (b"\nemail\n", "line 1", "no heading"),
        (b"ann@example.org,Ann\n", "line 1", "an address instead of a heading"),
        (b"email,name;town\nx,y\n", "line 1", "which of them divides"),
        (b"email,,town\n", "line 1", "column 2 has no heading"),
        (b"email,Name,name,Name\n", "line 1", "column 4 is called 'Name', like column 2"),
        (b"name,town\nx,y\n", "line 1", "no column is called"),
        (b"email,mail\nx,y\n", "line 1", "several columns may hold the address"),
        (b"email\rann@example.org\r", "line 1", "old Macintoshes"),
        (b'email,name\na@b.org,"x\nb@b.org,y\n', "line 2", "opened here and not closed"),
        (b"email\n" + b"x" * 1_100_000, "line 2", "longer than 1 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line_and_what_to_do(
    tmp_path: Path, content: bytes, where: str, words: str
) -> None:
    with pytest.raises(AudienceError) as caught:
        read(tmp_path, content)
    assert caught.value.where == f"{tmp_path}/people.csv, {where}"
    assert words in caught.value.what
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("saved_as", "named"),
    [
        ("windows-1252", "windows-1252"), ("utf-8-sig", "UTF-8"), ("utf-16", None),
        ("utf-32", None), ("utf-16-le", "utf-16-le"), ("iso8859_15", "iso-8859-15"),
    ],
)  # fmt: skip
def test_other_encodings_are_told_by_their_mark_or_by_name(
    tmp_path: Path, saved_as: str, named: str | None
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("email;Ort\r\nzoe@example.org;Köln\r\n".encode(saved_as))
    [line] = read_audience(path, encoding=named).lines()
    assert (line.line, line.fields) == (2, {"email": "zoe@example.org", "Ort": "Köln"})


def test_an_encoding_that_is_none_or_does_not_fit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("email\nann@example.org\nzoë@example.org\n".encode())
    for name in ("klingon", "base64"):
        with pytest.raises(InputError, match=f"“{name}” is no encoding"):
            read_audience(path, encoding=name)
    with pytest.raises(AudienceError, match="this is not ascii") as caught:
        read_audience(path, encoding="us-ascii")
    assert "--encoding" in caught.value.next_step


def test_the_line_by_which_excel_names_the_delimiter_is_no_heading(tmp_path: Path) -> None:
    audience = read(tmp_path, "\ufeffsep=;\r\nemail;a,b\r\nnobody;x\r\nann@example.org;y,z\r\n")
    assert audience.columns == ("email", "a_b")
    assert audience.bad_lines == (BadLine(3, "'nobody' is not an address"),)
    assert [(line.line, line.fields["a_b"]) for line in audience.lines()] == [(4, "y,z")]


def test_a_pipe_divides_where_excel_line_says_so(tmp_path: Path) -> None:
    assert addresses(read(tmp_path, "sep=|\nname|email\nAnn|ann@example.org\n")) == [
        "ann@example.org"
    ]


def test_columns_get_the_names_that_the_letter_uses(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("E-Mail,Vorname,Ort\nann@example.org,Ann,Ulm\n")
    audience = read_audience(path, fields={"first_name": "vorname"})
    [line] = audience.lines()
    assert line.fields == {"E_Mail": "ann@example.org", "first_name": "Ann", "Ort": "Ulm"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"first_name": "Name"}, "there is no column “Name”"),
        ({"first name": "Vorname"}, "cannot be the name of a field"),
        ({"Ort": "Vorname"}, "columns 2 and 3 would both be the field “Ort”"),
        ({"a": "Vorname", "b": "Vorname"}, "is to be “a” and “b”"),
    ],
)
def test_a_name_for_a_column_that_cannot_be_is_told(
    tmp_path: Path, fields: dict[str, str], words: str
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,Vorname,Ort\nann@example.org,Ann,Ulm\n")
    with pytest.raises(AudienceError, match=words):
        read_audience(path, fields=fields)


def test_what_single_lines_hold_refuses_no_other_line(tmp_path: Path) -> None:
    audience = read(
        tmp_path,
        'email,name\nann@example.org,"An\rn"\nbob@example.org,B\rb\n'
        f"cy@example.org,{'x' * 140_000}\ndee@example.org,=1+1\n",
    )
    assert audience.bad_lines == (
        BadLine(3, "a carriage return stands in it outside of quotation marks"),
        BadLine(4, "a cell has more than 131,072 characters"),
    )
    assert [(line.line, line.fields["name"]) for line in audience.lines()] == [
        (2, "An\rn"), (5, "=1+1"),
    ]  # fmt: skip


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    audience = read(tmp_path, "email\nann@example.org\n")
    (tmp_path / "people.csv").write_text("email\nann@example.org\nbob@example.org\n")
    with pytest.raises(AudienceError, match="the file changed while it was read"):
        list(audience.lines())


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(AudienceError, match="“email”, “name”"):
        read(tmp_path, "email,name\n", "Kunde")


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.csv"):
        with pytest.raises(AudienceError, match=str(path)):
            read_audience(path)


def test_memory_stays_flat_however_long_the_file_is(tmp_path: Path) -> None:
    """Twice the lines, the same memory; the 16 MB of marks are there from the start."""

    def peak(count: int) -> int:
        lines = "".join(f"customer{number}@example.org,Name\n" for number in range(count))
        tracemalloc.start()
        audience = read(tmp_path, f"email,name\n{lines}{lines[:40]}".rsplit("\n", 1)[0] + "\n")
        assert sum(1 for _ in audience.lines()) == audience.good == count + 1
        measured = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return measured - len(lines) * 3  # the test's own text

    assert peak(8000) - peak(4000) < 400_000
