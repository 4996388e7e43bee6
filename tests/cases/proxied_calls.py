"""Calls through proxies: one Call-ID, one From tag and one To tag from end to end, a Via for each hop."""

from __future__ import annotations

from collections.abc import Sequence

from tests.cases.field_calls import FAR, PHONE, idle, sdp
from tests.cases.media_calls import Scene
from tests.cases.packets import Stamped

Hop = tuple[str, str, str]  # from, to, called user
Vias = tuple[tuple[str, str], ...]  # host and branch, the newest first
CALLING = "+12065550100"


def put(
    scene: Scene,
    at: float,
    ends: tuple[str, str],
    first: str,
    vias: Vias,
    cseq: str,
    *,
    tag: bool = True,
    body: str = "",
) -> None:
    """One message from and to `ends`."""
    rows = "".join(f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{branch}\r\n" for host, branch in vias)
    content = "Content-Type: application/sdp\r\n" if body else ""
    text = (
        f"{first}\r\n{rows}Max-Forwards: 70\r\nFrom: <sip:{CALLING}@a.example>;tag=from\r\n"
        f"To: <sip:+12065550110@b.example>{';tag=to' if tag else ''}\r\nCall-ID: spiral@a\r\n"
        f"CSeq: {cseq}\r\nContact: <sip:x@{ends[0]}>\r\n{content}Content-Length: {len(body)}\r\n\r\n{body}"
    )
    scene.put(at, (ends[0], 5060), (ends[1], 5060), text.encode())


def through(
    hops: Sequence[Hop], *, final: int = 200, seconds: float = 28, twice: bool = False
) -> list[Stamped]:
    """A call along `hops`, with the final response after 2 s; `seconds` 0: nobody hangs up.

    `twice`: each INVITE comes again half a second later.
    """
    scene = Scene()
    vias: Vias = ()
    path: list[tuple[str, str, Vias]] = []
    for place, (src, dst, user) in enumerate(hops):
        vias = ((src, f"i{place}"), *vias)
        path.append((src, dst, vias))
        for again in range(1 + twice):
            at = 0.01 * place + 0.5 * again
            invite = f"INVITE sip:{user}@{dst} SIP/2.0"
            put(scene, at, (src, dst), invite, vias, "1 INVITE", tag=False, body=sdp(PHONE))
        put(scene, 0.01 * place + 0.001, (dst, src), "SIP/2.0 100 Trying", vias, "1 INVITE", tag=False)
    for at, status in ((1.0, 180), (2.0, final)):
        for back, (src, dst, kept) in enumerate(reversed(path)):
            body = sdp(FAR) if status == 200 else ""
            put(scene, at + 0.01 * back, (dst, src), f"SIP/2.0 {status} X", kept, "1 INVITE", body=body)
            if status >= 300:
                put(
                    scene, at + 0.01 * back + 0.001, (src, dst), f"ACK sip:x@{dst} SIP/2.0", kept[:1], "1 ACK"
                )
    if final == 200:
        _walk(scene, 2.1, path, "1 ACK")
        if seconds:
            _walk(scene, 2.1 + seconds, path, "2 BYE")
    idle(scene, 65)
    return scene.frames


def _walk(scene: Scene, at: float, path: Sequence[tuple[str, str, Vias]], cseq: str) -> None:
    """A request within the dialog along `path`, and its 200 back."""
    number, method = cseq.split()
    vias: Vias = ()
    answers = []
    for place, (src, dst, _) in enumerate(path):
        vias = ((src, f"{method}{number}{place}"), *vias)
        put(scene, at + 0.01 * place, (src, dst), f"{method} sip:x@{dst} SIP/2.0", vias, cseq)
        answers.append((src, dst, vias))
    for back, (src, dst, kept) in enumerate(reversed(answers)):
        if method != "ACK":
            put(scene, at + 0.2 + 0.01 * back, (dst, src), "SIP/2.0 200 OK", kept, cseq)
