"""What a call's records come to for people: its path, its ladder, what is wrong with it, and whose network it
is.
"""
