"""RFC 3161 timestamps by a real authority: `openssl ts` behind HTTP on this machine, under certificates made here."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cortex import limits
from cortex.errors import Corrupt, CortexError, Invalid, Unavailable
from cortex.ledger import checkpoint, timestamp
from cortex.ledger.checkpoint import Checkpoint, Signer

OPENSSL = shutil.which("openssl") or ""
pytest.importorskip("rfc3161_client", reason="the extra `timestamps` is not installed")
pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl, which plays the authority, is not installed")

SIGNER = Signer("cortex/transactions/a/b", b"\x01" * 32)
NOTE = checkpoint.sign(Checkpoint(SIGNER.name, 7, b"r" * 32), SIGNER).encode()
OTHER_NOTE = checkpoint.sign(Checkpoint(SIGNER.name, 8, b"r" * 32), SIGNER).encode()
# Certificates in an answer have to be sorted, in DER the shorter first: this makes an issuer's the longer one.
LONG = "/O=" + "o" * 60 + "/OU=" + "u" * 60 + "/L=" + "l" * 60
CONF = """
[tsa]
default_tsa = t
[t]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
"""
PURPOSES = """
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[stamps]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[web]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,serverAuth,emailProtection
"""

Answer = Callable[[bytes], tuple[int, str, bytes]]


@dataclass(frozen=True)
class Authority:
    """Certificates in a folder, and what `openssl ts` answers with them."""

    folder: Path

    def run(self, *arguments: str | Path) -> None:
        done = subprocess.run([OPENSSL, *map(str, arguments)], cwd=self.folder, capture_output=True, check=False)
        assert 0 == done.returncode, done.stderr.decode()

    def issue(self, name: str, subject: str, purpose: str, issuer: str | None = None, serial: int = 1) -> Path:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]
        self.run("req", "-utf8", *key, "-out", f"{name}.csr", "-subj", subject)
        signed = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"] if issuer else ["-signkey", f"{name}.key"]
        extensions = ["-extfile", "purposes", "-extensions", purpose, "-days", "30", "-set_serial", str(serial)]
        self.run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed, *extensions)
        return self.folder / f"{name}.pem"

    def root(self, name: str = "root") -> bytes:
        return (self.folder / f"{name}.pem").read_bytes()

    def answer(self, question: bytes) -> bytes:
        (self.folder / "question").write_bytes(question)
        self.run(
            *("ts", "-reply", "-config", "conf", "-queryfile", "question", "-out", "answer"),
            *("-signer", "stamper.pem", "-inkey", "stamper.key", "-chain", "middle.pem"),
        )
        return (self.folder / "answer").read_bytes()

    def stamp(self, note: bytes) -> bytes:
        return self.answer(timestamp.request(note))


@pytest.fixture(name="authority", scope="module")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A root, an authority between, and one that stamps; another root beside them."""
    made = Authority(tmp_path_factory.mktemp("authority"))
    (made.folder / "conf").write_text(CONF)
    (made.folder / "purposes").write_text(PURPOSES)
    (made.folder / "serial").write_text("01\n")
    made.issue("root", f"{LONG}/CN=root", "authority")
    made.issue("other", f"{LONG}/CN=root", "authority")
    made.issue("middle", f"{LONG}/CN=middle", "authority", "root", 2)
    made.issue("stamper", "/CN=stämper", "stamps", "middle", 3)
    return made


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """The URL of a server on this machine that answers so, and what it was asked."""
    seen: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Content-Type"]))
            status, header, body = answer(question)
            self.send_response(status)
            self.send_header(*header.split(": ", 1))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return

        def log_message(self, *_given: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsr?x=1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(body: bytes, status: int = 200, header: str = "Content-Type: application/timestamp-reply") -> Answer:
    return lambda _question: (status, header, body)


def test_an_authority_is_asked_and_its_answer_says_when_and_by_whom(authority: Authority) -> None:
    with serving(lambda question: (200, "Content-Type: application/timestamp-reply", authority.answer(question))) as (
        url,
        seen,
    ):
        token = timestamp.ask(url, NOTE)

    stamped = timestamp.check(token, NOTE, authority.root())
    assert [("/tsr?x=1", "application/timestamp-query")] == seen
    assert "CN=stämper" == stamped.by
    assert (27, "Z") == (len(stamped.at), stamped.at[-1])


def test_the_kept_answer_is_one_that_openssl_checks_too(authority: Authority) -> None:
    token = authority.stamp(NOTE)

    (authority.folder / "kept").write_bytes(token)
    (authority.folder / "note").write_bytes(NOTE)

    authority.run("ts", "-verify", "-data", "note", "-in", "kept", "-CAfile", "root.pem")


def test_the_root_may_be_one_of_several(authority: Authority) -> None:
    token = authority.stamp(NOTE)

    stamped = timestamp.check(token, NOTE, authority.root("other") + authority.root())

    assert "CN=stämper" == stamped.by


def test_a_timestamp_of_another_note_is_refused(authority: Authority) -> None:
    token = authority.stamp(NOTE)

    with pytest.raises(Corrupt, match="another note"):
        timestamp.check(token, OTHER_NOTE, authority.root())


def test_a_timestamp_under_another_root_is_refused_though_it_has_the_same_name(authority: Authority) -> None:
    token = authority.stamp(NOTE)

    with pytest.raises(Corrupt, match=r"does not verify: certificate verify error, .*issuer certificate"):
        timestamp.check(token, NOTE, authority.root("other"))


@pytest.mark.filterwarnings("ignore::UserWarning")  # what the library thinks of a changed certificate
def test_no_changed_byte_makes_a_timestamp_say_something_else(authority: Authority) -> None:
    token = authority.stamp(NOTE)
    stamped = timestamp.check(token, NOTE, authority.root())
    said = set()
    for at in range(0, len(token), 3):
        changed = bytearray(token)
        changed[at] ^= 1 << at % 8

        try:
            said.add(timestamp.check(bytes(changed), NOTE, authority.root()))
        except Corrupt:
            continue

    # Some bytes are not signed: the note of the status, and the name of the algorithm beside the signature.
    assert said <= {stamped}


def test_no_part_of_a_timestamp_and_nothing_behind_it_is_accepted(authority: Authority) -> None:
    token = authority.stamp(NOTE)

    for changed in [token + b"\0", *(token[:size] for size in range(0, len(token), 40))]:
        with pytest.raises(Corrupt):
            timestamp.check(changed, NOTE, authority.root())


@pytest.mark.parametrize(
    "junk", [b"", b"\0", b"<html></html>", b"0\x80" * 200, b"\x30\x84\xff\xff\xff\xff", b"0" * 9999]
)
def test_junk_is_no_timestamp(authority: Authority, junk: bytes) -> None:
    with pytest.raises(Corrupt, match="no timestamp"):
        timestamp.check(junk, NOTE, authority.root())


def test_a_timestamp_is_read_up_to_its_limit(authority: Authority) -> None:
    for size, told in [(limits.TIMESTAMP_BYTES_MAX, "no timestamp"), (limits.TIMESTAMP_BYTES_MAX + 1, "at most")]:
        with pytest.raises(Corrupt, match=told):
            timestamp.check(b"0" * size, NOTE, authority.root())


def test_a_timestamp_over_another_hash_is_refused(authority: Authority) -> None:
    (authority.folder / "note").write_bytes(NOTE)
    authority.run("ts", "-query", "-data", "note", "-sha512", "-cert", "-out", "longer")
    token = authority.answer((authority.folder / "longer").read_bytes())

    with pytest.raises(Corrupt, match="not SHA-256"):
        timestamp.check(token, NOTE, authority.root())


def test_a_timestamp_that_was_not_granted_is_refused(authority: Authority) -> None:
    (authority.folder / "note").write_bytes(NOTE)
    authority.run("ts", "-query", "-data", "note", "-sha1", "-cert", "-out", "refused")
    token = authority.answer((authority.folder / "refused").read_bytes())

    with pytest.raises(Corrupt, match="not granted"):
        timestamp.check(token, NOTE, authority.root())


@pytest.mark.parametrize("borrowed", [False, True])
def test_a_certificate_for_web_pages_signs_no_times_whatever_lies_beside_it(
    authority: Authority, borrowed: bool
) -> None:
    authority.stamp(NOTE)
    authority.issue("web", "/CN=web", "web", "root", 9)
    authority.issue("forger", f"{LONG}/CN=root", "authority")
    authority.issue("forged", "/CN=a stamper with a longer name", "stamps", "forger", 9)
    authority.run("ts", "-reply", "-in", "answer", "-token_out", "-out", "token")
    authority.run("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-out", "info")
    beside = ["-certfile", "forged.pem"] if borrowed else []
    signed = ["-binary", "-nodetach", "-nosmimecap", "-econtent_type", "1.2.840.113549.1.9.16.1.4", "-outform", "DER"]
    authority.run(
        *("cms", "-sign", "-in", "info", *signed, "-signer", "web.pem", "-inkey", "web.key", *beside, "-out", "cms")
    )
    cms = (authority.folder / "cms").read_bytes()
    content = b"\x30\x03\x02\x01\x00" + cms
    token = b"\x30\x82" + len(content).to_bytes(2, "big") + content

    with pytest.raises(
        Corrupt, match="1 signatures and 2 certificates" if borrowed else "unsuitable certificate purpose"
    ):
        timestamp.check(token, NOTE, authority.root())


@pytest.mark.parametrize(
    "roots", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 99]
)
def test_roots_that_are_no_certificates_are_refused(authority: Authority, roots: bytes) -> None:
    with pytest.raises(Invalid, match="no root certificates"):
        timestamp.check(authority.stamp(NOTE), NOTE, roots)


def test_roots_are_read_up_to_their_limit(authority: Authority) -> None:
    token = authority.stamp(NOTE)
    filled = authority.root() + b"\n" * (limits.TIMESTAMP_ROOTS_BYTES_MAX - len(authority.root()))

    assert "CN=stämper" == timestamp.check(token, NOTE, filled).by
    with pytest.raises(Invalid, match="TIMESTAMP_ROOTS_BYTES_MAX"):
        timestamp.check(token, NOTE, filled + b"\n")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answering(b"<html>moved</html>", header="Content-Type: text/html"), "no timestamp"),
        (answering(b""), "no timestamp"),
        (answering(b"0" * (limits.TIMESTAMP_BYTES_MAX + 1)), f"more than {limits.TIMESTAMP_BYTES_MAX} bytes"),
        (answering(b"0", header="Content-Length: 5000000"), "no timestamp"),
        (answering(b"", 302, "Location: http://127.0.0.1:1/"), "answers 302"),
        (answering(b"", 429, "Retry-After: 1"), "answers 429"),
        (answering(b"", 500, "A: b"), "answers 500"),
    ],
    ids=range(7),
)
def test_a_server_that_gives_no_timestamp_is_unavailable(answer: Answer, told: str) -> None:
    with serving(answer) as (url, seen), pytest.raises(Unavailable, match=told) as raised:
        timestamp.ask(url, NOTE)

    assert 1 == len(seen)
    assert "?x=1" not in str(raised.value)


def test_the_answer_to_another_question_is_not_kept(authority: Authority) -> None:
    with serving(answering(authority.stamp(NOTE))) as (url, _), pytest.raises(Unavailable, match="another question"):
        timestamp.ask(url, NOTE)
    with serving(answering(authority.stamp(OTHER_NOTE))) as (url, _), pytest.raises(Unavailable, match="another note"):
        timestamp.ask(url, NOTE)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with serving(answering(b"")) as (url, _):
        pass

    with pytest.raises(Unavailable, match="cannot be reached"):
        timestamp.ask(url, NOTE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a/",
        "file:///etc/hosts",
        "http://",
        "http://a:b/",
        "http://a:99999/",
        "http://u:secret@a/",
        "http://a/\r\nX: y",
        "http://a/" + "x" * limits.ENDPOINT_URL_CHARS_MAX,
    ],
    ids=range(9),
)
def test_a_url_that_cannot_be_asked_is_invalid_and_not_repeated(url: str) -> None:
    with pytest.raises(Invalid) as raised:
        timestamp.ask(url, NOTE)

    assert "secret" not in str(raised.value)


def test_two_questions_are_never_the_same() -> None:
    assert timestamp.request(NOTE) != timestamp.request(NOTE)


def test_an_empty_note_is_not_stamped() -> None:
    with pytest.raises(CortexError, match="empty note"):
        timestamp.request(b"")


def test_without_the_extra_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['rfc3161_client'] = None\n"
        "from cortex.errors import Unavailable\n"
        "from cortex.ledger import timestamp\n"
        "for call in (lambda: timestamp.request(b'n'), lambda: timestamp.check(b't', b'n', b'r')):\n"
        "    try:\n"
        "        call()\n"
        "    except Unavailable as error:\n"
        "        print(error.hint)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (f"{timestamp.INSTALL_HINT}\n" * 2, "") == (done.stdout, done.stderr)
