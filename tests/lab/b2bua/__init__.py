"""A B2BUA of the lab's own, for calls that a proxy cannot make: it ends each dialog itself and begins others.

Debian has none whose transfers, queues and music a test could steer. It runs as a program in the sbc's
namespace in place of kamailio and rtpengine (`python -m tests.lab.b2bua`) and shares no code with sbcwatch.

`sip` reads and writes messages, `dialogs` keeps dialogs and the two sockets, `media` relays RTP and RTCP and
plays music, `calls` says what becomes of a call, `numbers` how numbers are written on the other side.
"""
