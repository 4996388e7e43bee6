"""Real SIP over TLS in a namespace of its own: `unshare -n python -m tests.kit.tls_call DIR`.

Leaves DIR/tls.pcap (by tcpdump) and DIR/keys (the TLS library's key log).
"""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PORT = 5061
CALL = "tls-call@example"


def message(start: str, number: int, body: str = "") -> bytes:
    return (
        f"{start}\r\nVia: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK{number}\r\n"
        f"From: <sip:a@example>;tag=1\r\nTo: <sip:b@example>\r\nCall-ID: {CALL}\r\nCSeq: {number} OPTIONS\r\n"
        f"Max-Forwards: 70\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


# Two messages in one write, one in two: TLS and TCP keep no message's borders.
REQUESTS = [message("OPTIONS sip:b@example SIP/2.0", number, "x" * number) for number in (1, 2, 3)]
ANSWERS = [message("SIP/2.0 200 OK", number) for number in (1, 2, 3)]


def certificate(where: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sbc.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (where / "pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))


def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    raw, _ = listener.accept()
    with context.wrap_socket(raw, server_side=True) as stream:
        got = 0
        while got < sum(map(len, REQUESTS)):
            got += len(stream.recv(65536))
        for answer in ANSWERS:
            stream.sendall(answer)
            time.sleep(0.05)
        stream.recv(1)


def main(where: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    certificate(where)
    tcpdump = subprocess.Popen(
        ["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-w", str(where / "tls.pcap"), "tcp"],
        stderr=subprocess.PIPE,
    )
    assert tcpdump.stderr
    tcpdump.stderr.readline()
    time.sleep(0.5)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(where / "pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.keylog_filename = str(where / "keys")
    listener = socket.create_server(("127.0.0.1", PORT))
    thread = threading.Thread(target=serve, args=(listener, server))
    thread.start()
    with client.wrap_socket(socket.create_connection(("127.0.0.1", PORT))) as stream:
        stream.sendall(REQUESTS[0] + REQUESTS[1])
        time.sleep(0.05)
        stream.sendall(REQUESTS[2][:100])
        time.sleep(0.05)
        stream.sendall(REQUESTS[2][100:])
        got = 0
        while got < sum(map(len, ANSWERS)):
            got += len(stream.recv(65536))
        stream.sendall(b"\n")
    thread.join()
    time.sleep(0.5)
    tcpdump.terminate()
    tcpdump.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
