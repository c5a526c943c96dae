"""Views: files → masked rows, and one SELECT over them, each in a process that has nothing else.

Rules: what is masked is masked before anybody's SQL is looked at, and in another process: the one that runs a query
never had the files, a mask's definition or a key. It knows no policy, no permit and no file.
"""
