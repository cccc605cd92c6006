"""Shows: the public page, whose process can add a wish and read nothing; and the API.

public.py    the app: which request gets which page       serving.py    a process, its patience
public_process.py  that app, its door, its watchdog     api/          /v1, for the shop's own
pages.py     pages from the texts of data/public          languages.py  Accept-Language
forms.py     a request's form within bounds               addresses.py  whose request it is
limits.py    who tried too many wrong links               headers.py    what every answer bears
health.py    whether it answers, as `mailbot check` asks
sockets.py   where it listens                             strictness.py what may be read in two ways
"""
