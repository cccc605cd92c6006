"""/v1, for a shop's own programs. Thin: each answer comes from a function that others call too.

app.py      the routes, each a few lines       models.py    what goes in and out, as pydantic has it
keys.py     who asks, and may they             document.py  the OpenAPI document, of those models
bodies.py   JSON within bounds                 problems.py  each error as problem+json (RFC 9457)
process.py  the process that serves it
"""
