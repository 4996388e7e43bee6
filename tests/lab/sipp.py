"""sipp scenarios, put together from steps, and a running sipp.

sipp's own scenarios do not route in a dialog, so a proxy that record-routes loses them. Every step here is
one message or pause of a sipp scenario; a scenario is their concatenation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .processes import Process

AUDIO = Path(
    "/usr/share/sip-tester/g711a.pcap"
)  # 236 packets of 30 ms PCMA, always the same SSRC and numbers
DIGITS = Path("/usr/share/sip-tester")  # dtmf_2833_1.pcap and so on: RFC 4733, payload type 96

_SDP = """
v=0
o=- 1 {version} IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP {types}
{maps}
a=ptime:{ptime}
a={way}
"""
_RTPMAPS = {8: "PCMA/8000", 0: "PCMU/8000", 96: "telephone-event/8000", 101: "telephone-event/8000"}

_FROM_CALLER = "From: <sip:[caller]@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]"
_TO_CALLEE = "To: <sip:[service]@[remote_ip]:[remote_port]>"


def sdp(types: Sequence[int] = (8, 96), way: str = "sendrecv", version: int = 1, ptime: int = 30) -> str:
    """A body that offers or accepts these payload types."""
    maps = "\n".join(f"a=rtpmap:{number} {_RTPMAPS[number]}" for number in types)
    numbers = " ".join(str(number) for number in types)
    return _SDP.format(version=version, types=numbers, maps=maps, ptime=ptime, way=way).strip()


def _message(text: str, body: str, attributes: str = "") -> str:
    content = (
        f"Content-Type: application/sdp\nContent-Length: [len]\n\n{body}" if body else "Content-Length: 0\n"
    )
    return f"<send{attributes}><![CDATA[\n\n{text.strip()}\n{content}\n\n]]></send>"


def _request(
    method: str, target: str, to: str, extra: str, body: str, attributes: str = ' retrans="500"'
) -> str:
    return _message(
        f"""
{method} {target} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
{extra}{_FROM_CALLER}
{to}
Call-ID: [call_id]
CSeq: [cseq] {"INVITE" if method == "ACK" else method}
Contact: <sip:[caller]@[local_ip]:[local_port]>
Max-Forwards: 70""",
        body,
        attributes,
    )


# The caller's steps.


def invite(body: str | None = None, authenticate: bool = False, extra: str = "") -> str:
    """The initial INVITE. `body` "" makes a late offer; `authenticate` answers the challenge before it."""
    extra += "[authentication username=lab password=secret]\n" if authenticate else ""
    offer = sdp() if body is None else body
    return _request("INVITE", "sip:[service]@[remote_ip]:[remote_port]", _TO_CALLEE, extra, offer)


def reinvite(body: str) -> str:
    return _request("INVITE", "[next_url]", f"{_TO_CALLEE}[peer_tag_param]", "[routes]\n", body)


def ack(body: str = "", target: str = "[next_url]") -> str:
    """ACK of a 2xx: a request of its own, along the route set."""
    return _request("ACK", target, f"{_TO_CALLEE}[peer_tag_param]", "[routes]\n", body, "")


def bye(target: str = "[next_url]") -> str:
    return _request("BYE", target, f"{_TO_CALLEE}[peer_tag_param]", "[routes]\n", "")


def ack_failure() -> str:
    """ACK of a final response >= 300: part of the INVITE's transaction (RFC 3261 17.1.1.3), same branch."""
    return f"""<send><![CDATA[

ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
{_FROM_CALLER}
{_TO_CALLEE}[peer_tag_param]
Call-ID: [call_id]
CSeq: [cseq] ACK
Max-Forwards: 70
Content-Length: 0

]]></send>"""


def cancel() -> str:
    return f"""<send retrans="500"><![CDATA[

CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
{_FROM_CALLER}
{_TO_CALLEE}
Call-ID: [call_id]
CSeq: [cseq] CANCEL
Max-Forwards: 70
Content-Length: 0

]]></send>"""


def response(status: int, optional: bool = False, auth: bool = False) -> str:
    """Expect a response; `auth` keeps its challenge."""
    # sipp keeps the first route set it meets: a 180 from one fork must not decide where the other's ACK goes.
    flags = ' rrs="true"' if status == 200 else ""
    flags += ' optional="true"' if optional else ""
    flags += ' auth="true"' if auth else ""
    return f'<recv response="{status}"{flags}/>'


LATE = "[$late]"  # the target of a dialog that `late_response` began


def late_response() -> str:
    """Expect a second 200, of another fork. sipp keeps the target of the first, so its own is kept apart."""
    keep = '<ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="late"/>'
    return f'<recv response="200"><action>{keep}</action></recv>'


def provisional() -> str:
    return response(100, optional=True) + response(180, optional=True) + response(183, optional=True)


# The callee's steps.


def request(method: str) -> str:
    flags = ' rrs="true"' if method == "INVITE" else ""
    return f'<recv request="{method}"{flags}/>'


_TO_REPEAT = (("Via:", 1, "via1"), ("Via:", 2, "via2"), ("CSeq:", 1, "cseq"))


def remembered_invite(kept: Sequence[tuple[str, int, str]] = _TO_REPEAT) -> str:
    """Like request("INVITE"), and keeps headers (name, which of them, variable): what a 487 must repeat."""
    keep = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{header}" occurrence="{nth}" assign_to="{variable}"/>'
        for header, nth, variable in kept
    )
    return f'<recv request="INVITE" rrs="true"><action>{keep}</action></recv>'


def request_of_callee(method: str, cseq: int, extra: str = "") -> str:
    """A request of the callee's in the dialog; the INVITE's From and To are in `from` and `to`."""
    return _message(
        f"""
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[pid]SIPpTag01[call_number]
To:[$from]
Call-ID: [call_id]
CSeq: {cseq} {method}
{extra}Contact: <sip:[callee]@[local_ip]:[local_port]>
Max-Forwards: 70""",
        "",
        ' retrans="500"',
    )


def late_answer(body: str, kept: Sequence[tuple[str, int, str]] = (("Via:", 1, "via1"),)) -> str:
    """200 to the remembered INVITE, after its CANCEL was answered; `kept` are its hops and routes."""
    hops = "\n".join(f"{header}[${variable}]" for header, _, variable in kept if header != "CSeq:")
    return _message(
        f"""
SIP/2.0 200 OK
{hops}
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
CSeq:[$cseq]
Contact: <sip:[callee]@[local_ip]:[local_port]>""",
        body,
        ' retrans="500"',
    )


def cancel_ok() -> str:
    return _message(
        """
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
[last_CSeq:]""",
        "",
    )


def terminated() -> str:
    """487 to the remembered INVITE."""
    return _message(
        """
SIP/2.0 487 Request Terminated
Via:[$via1]
Via:[$via2]
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
CSeq:[$cseq]""",
        "",
    )


def reply(
    status: int,
    reason: str,
    body: str = "",
    extra: str = "",
    until_ack: bool = False,
) -> str:
    """Answer the last request; `until_ack` retransmits (RFC 3261 13.3.1.4)."""
    tag = "" if status == 100 else ";tag=[pid]SIPpTag01[call_number]"
    # In a dialog the request brings the tag itself, and sipp has no condition: see in_dialog_reply.
    return _reply(status, reason, f"[last_To:]{tag}", body, extra, until_ack)


def in_dialog_reply(status: int, reason: str, body: str = "") -> str:
    return _reply(status, reason, "[last_To:]", body, "", bool(body))


def _reply(status: int, reason: str, to: str, body: str, extra: str, until_ack: bool) -> str:
    return _message(
        f"""
SIP/2.0 {status} {reason}
[last_Via:]
[last_Record-Route:]
[last_From:]
{to}
[last_Call-ID:]
[last_CSeq:]
{extra}Contact: <sip:[callee]@[local_ip]:[local_port]>""",
        body,
        ' retrans="500"' if until_ack else "",
    )


# Either's.


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>'


def play(file: Path = AUDIO) -> str:
    """Start sending a capture file's RTP to the far end of the last SDP; the next step follows at once."""
    return f'<nop><action><exec play_pcap_audio="{file}"/></action></nop>'


def voiced(folder: Path, ssrc: int) -> Path:
    """The audio file with an SSRC of its own: each party of a B2BUA's call has another."""
    data = bytearray(AUDIO.read_bytes())
    at = 24
    while at < len(data):
        captured = int.from_bytes(data[at + 8 : at + 12], "little")
        at += 16 + captured
        start = at - captured + 14 + 20 + 8  # behind Ethernet, IPv4 and UDP
        data[start + 8 : start + 12] = ssrc.to_bytes(4, "big")
    path = folder / f"audio-{ssrc:x}.pcap"
    path.write_bytes(data)
    return path


def document(name: str, steps: Sequence[str]) -> str:
    body = "\n".join(steps)
    return f'<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="{name}">\n{body}\n</scenario>\n'


def start(
    namespace: str,
    local: str,
    steps: Sequence[str],
    folder: Path,
    name: str,
    *,
    user: str,
    target: tuple[str, str] | None = None,
    calls: int = 1,
    rate: int = 10,
    port: int = 5060,
    call_id: str = "",
) -> Process:
    """Run sipp at `local` for `calls`: as a caller of (number, vc address) `target`, else as a callee."""
    xml = folder / f"{name}.xml"
    xml.write_text(document(name, steps), encoding="ascii")
    command = ["sipp", "-sf", str(xml), "-i", local, "-mi", local, "-p", str(port), "-mp", str(port + 940)]
    command += [
        "-m",
        str(calls),
        "-nostdin",
        "-t",
        "u1",
        "-trace_err",
        "-error_file",
        str(folder / f"{name}.err"),
    ]
    command += ["-cid_str", call_id] if call_id else []
    command += ["-key", "callee", user]
    if target is not None:
        number, address = target
        host = f"[{address}]" if ":" in address else address
        command += ["-key", "caller", user, "-s", number, "-r", str(rate), "-l", str(calls), f"{host}:5060"]
    return Process(namespace, command, folder / f"{name}.log", env={"TERM": "dumb"}, cwd=folder)
