"""Shows: the public page, in a process of its own that can add a wish and read nothing.

public.py    the app: which request gets which page       serving.py    sockets, patience, the end
pages.py     pages from the texts of data/public          languages.py  Accept-Language
forms.py     a request's form within bounds               addresses.py  whose request it is
limits.py    who tried too many wrong links               headers.py    what every answer bears
health.py    whether it answers, as `mailbot check` asks
sockets.py   where it listens                             strictness.py what may be read in two ways
"""
