"""When a checkpoint was there already, as a timestamp authority says it (RFC 3161): asked over HTTP, checked offline.

The authority signs SHA-256 of the note's text together with its own time. What is kept, as `external_proof` of the
checkpoint, is its answer byte for byte, so that `openssl ts -verify -data NOTE -in ANSWER -CAfile ROOTS` checks it too.

Needs the extra `timestamps` (rfc3161-client), imported on first use. That library verifies the signature and the chain
from the certificates in the answer up to the given roots, as of the time that is asserted. It asks nobody whether a
certificate was revoked, and it reads strict DER: an answer whose certificates are not sorted is refused.
"""

import hashlib
import importlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cortex import limits, posting, times
from cortex.errors import Corrupt, Invalid, Unavailable
from cortex.posting import NotPosted

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampRequest, TimeStampResponse

INSTALL_HINT = "install cortex-memory[timestamps]"

_SHA256 = "2.16.840.1.101.3.4.2.1"
_QUERY = "application/timestamp-query"
_REASON = re.compile(r'(?:reason|data): "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Stamped:
    """The time that was signed, and the subject of the certificate that signed it."""

    at: str
    by: str


def request(note: bytes) -> bytes:
    """A question for any authority: SHA-256 of `note`, a new nonce, and that the certificate is to be in the answer."""
    return _question(note).as_bytes()


def ask(url: str, note: bytes) -> bytes:
    """The answer of the authority at `url`, to be kept: granted and for this note, its signature not yet checked."""
    authority = _shown(url)
    question = _question(note)
    answer = _asked(url, authority, question.as_bytes())
    try:
        told = _decoded(answer)
        _check_imprint(told, note)
    except Corrupt as error:
        raise Unavailable(f"{authority} gave {error.message}", "see whether it is an RFC 3161 authority") from None
    if told.tst_info.nonce != question.nonce:
        raise Unavailable(f"{authority} answered another question", "do not use this authority")
    return answer


def check(token: bytes, note: bytes, roots_pem: bytes) -> Stamped:
    """What an authority under one of the roots says of `note`. Raises Corrupt with what is wrong."""
    library: Any = _library("rfc3161_client")
    roots = _roots(roots_pem)
    told = _decoded(token)
    _check_imprint(told, note)
    by = _signer(told)
    try:
        library.VerifierBuilder(roots=roots).build().verify(told, hashlib.sha256(note).digest())
        at = times.canonical(told.tst_info.gen_time)
    except (library.VerificationError, *_damage(), Invalid) as error:
        raise Corrupt(f"a timestamp that does not verify: {_reason(error)}", _doubt) from None
    return Stamped(at, _line(by.subject.rfc4514_string()))


_doubt = "do not rely on its time, or give the root certificates of the authority that made it"


def _library(name: str) -> Any:
    """A module of the extra."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unavailable("timestamps need the package rfc3161-client", INSTALL_HINT) from None


def _question(note: bytes) -> "TimeStampRequest":
    if not note:
        raise Invalid("an empty note", "give the text of a checkpoint")
    library = _library("rfc3161_client")
    builder = library.TimestampRequestBuilder(note, library.HashAlgorithm.SHA256, nonce=True, cert_req=True)
    built: TimeStampRequest = builder.build()
    return built


def _decoded(token: bytes) -> "TimeStampResponse":
    """A granted answer. Raises Corrupt for one that is refused, in another form, or too long."""
    if len(token) > limits.TIMESTAMP_BYTES_MAX:
        raise Corrupt(
            f"a timestamp of {len(token)} bytes", f"at most {limits.TIMESTAMP_BYTES_MAX} are read (TIMESTAMP_BYTES_MAX)"
        )
    try:
        told: TimeStampResponse = _library("rfc3161_client").decode_timestamp_response(token)
        status, said, _ = told.status, told.status_string, told.as_bytes()
    except ValueError as error:
        raise Corrupt(f"what is no timestamp ({_line(error)})", "take it as the authority gave it") from None
    if status != 0:
        raise Corrupt(f"a timestamp that was not granted (status {status} {_line(said or '')})", "ask again")
    return told


def _check_imprint(told: "TimeStampResponse", note: bytes) -> None:
    try:
        imprint = told.tst_info.message_imprint
        kind, hashed = imprint.hash_algorithm.dotted_string, imprint.message
    except ValueError as error:
        raise Corrupt(f"what is no timestamp ({_line(error)})", "take it as the authority gave it") from None
    if kind != _SHA256:
        raise Corrupt(f"a timestamp over the hash {kind}, not SHA-256", "ask an authority that knows SHA-256")
    if hashed != hashlib.sha256(note).digest():
        raise Corrupt("a timestamp of another note", "give the note that it was asked for")


def _signer(told: "TimeStampResponse") -> "Certificate":
    """The one certificate in the answer that its signature names.

    With two of the same issuer and number, the signature may be checked with one and the name read from the other.
    """
    load = _library("cryptography.x509").load_der_x509_certificate
    try:
        infos = [(info.issuer, info.serial_number) for info in told.signed_data.signer_infos]
        held: list[Certificate] = [load(raw) for raw in told.signed_data.certificates]
        named = [found for found in held if (found.issuer, found.serial_number) in infos]
    except _damage() as error:
        raise Corrupt(f"a timestamp with a damaged certificate ({_line(error)})", _doubt) from None
    if len(infos) != 1 or len(named) != 1:
        raise Corrupt(f"a timestamp of {len(infos)} signatures and {len(named)} certificates for them", _doubt)
    return named[0]


def _roots(pem: bytes) -> "list[Certificate]":
    most = limits.TIMESTAMP_ROOTS_BYTES_MAX
    if len(pem) > most:
        raise Invalid(f"root certificates of {len(pem)} bytes", f"at most {most} are read (TIMESTAMP_ROOTS_BYTES_MAX)")
    try:
        found: list[Certificate] = _library("cryptography.x509").load_pem_x509_certificates(pem)
    except _damage() as error:
        raise Invalid(f"no root certificates ({_line(error)})", "give them as PEM") from None
    return found


def _damage() -> tuple[type[Exception], ...]:
    """What is raised for certificates in another form than theirs."""
    x509 = _library("cryptography.x509")
    # The last two for a name whose text is of a kind that names do not have.
    return (
        ValueError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        LookupError,
        TypeError,
    )


def _reason(error: Exception) -> str:
    """What OpenSSL found, without the places in its source that are reported with it."""
    return _line(", ".join(_REASON.findall(str(error))) or error)


def _line(said: object) -> str:
    """What others wrote, on one line and within bounds."""
    text = "".join(each if each.isprintable() else "?" for each in str(said)[: limits.TIMESTAMP_NAME_CHARS])
    return text.strip() or type(said).__name__


def _shown(url: str) -> str:
    """Who is asked, to be told. Raises Invalid for a URL that cannot be asked, without it: some hold a password."""
    host = posting.host_of(url)
    if host is None:
        raise Invalid("the authority's URL is none that can be asked", "give http:// or https:// and no password")
    return f"the timestamp authority at {host}"


def _asked(url: str, authority: str, question: bytes) -> bytes:
    most, seconds = limits.TIMESTAMP_BYTES_MAX, limits.TIMESTAMP_SECONDS
    answer = posting.post(url, question, kind=_QUERY, most=most, seconds=seconds)
    match answer:
        case NotPosted(kind="large"):
            raise Unavailable(f"{authority} returned more than {most} bytes", "see whether it is an RFC 3161 authority")
        case NotPosted(kind="slow"):
            raise Unavailable(
                f"{authority} did not answer within {seconds} s", "try again, or ask another", limits.TIMESTAMP_RETRY_MS
            )
        case NotPosted():
            told = f"{authority} cannot be reached ({answer.why})"
            raise Unavailable(told, "see whether it runs, and its URL", limits.TIMESTAMP_RETRY_MS)
    if answer.status != HTTPStatus.OK:
        passing = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        hint = "see its URL; no redirect is followed"
        raise Unavailable(f"{authority} answers {answer.status}", hint, limits.TIMESTAMP_RETRY_MS if passing else None)
    return answer.body
