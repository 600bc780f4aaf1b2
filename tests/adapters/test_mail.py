"""Mail over a real line: what every answer of a server comes to, and letters that nothing breaks."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from adapters import REGISTRY
from adapters.base import Address, Choice, Delivery, Gone, Later, Message, Outside, Parcel, Refused, Sent, Unknown, fit
from adapters.mail import NUMBER, Mail, is_mailbox, server_of
from tests.fakes.mail import Post, served

AT = datetime(2026, 6, 1, 0, 0, tzinfo=UTC)
KEY = "0b0f6f2e-6a0e-4c2b-9a8e-0d6d0d2f4d11"
TOKEN = "AAAAAAAAAAAAAAAAAAAAA"
OFFER = Message(
    "385-267-52 の 家計相談 をお願いできますか。お返事は 6/4(木) 17:15 まで。",
    "つなぎの依頼",
    (("お返事まで", "6/4(木) 17:15"), ("だれから", "地域包括支援センター北 鈴木さん")),
    (Choice("引き受けます", "引受 385-267-52", "primary", f"{TOKEN}0"), Choice("辞退", "辞退 385-267-52", "plain", f"{TOKEN}1")),
)  # fmt: skip


def mail(port: int = 1, *, user: str = "", answer: float = 0.3, whole: float = 5.0, scheme: str = "smtp") -> Mail:
    url = f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{port}"
    return Mail(url, "つなぎ <tsunagi@town.example>", "https://tsunagi.town.example/", answer=answer, whole=whole)


def parcel(message: Message = OFFER, to: str = "ishii@tomoshibi.example", key: str = KEY) -> Parcel:
    return Parcel(Address("mail", to), fit(message, Mail.caps), key, AT)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with served() as found:
        yield found


# -- what arrives


async def test_an_offer_reads_well_with_its_links_stripped(post: Post) -> None:
    assert await mail(post.port).send(parcel()) == Sent(KEY)
    letter = post.letters[0]
    text = letter.get_content()
    bare = re.sub(r"https?://\S+", "", text)
    assert "385-267-52" in bare and "家計相談" in bare and "6/4(木) 17:15 まで" in bare
    assert f"引き受けます: https://tsunagi.town.example/go/{TOKEN}0" in text.splitlines()
    assert f"辞退: https://tsunagi.town.example/go/{TOKEN}1" in text.splitlines()
    assert letter.get_content_type() == "text/plain" and letter.get_content_charset() == "utf-8"
    assert post.envelopes == [("tsunagi@town.example", ("ishii@tomoshibi.example",))]


async def test_a_subject_is_a_number_and_our_own_words(post: Post) -> None:
    adapter = mail(post.port)
    await adapter.send(parcel())
    await adapter.send(parcel(Message("佐藤花子さんの件 385-267-52 と 385-267-53、090-1234-5678", "ご逝去のお知らせ")))
    await adapter.send(parcel(Message("今日はここまでです。")))
    subjects = [letter["Subject"] for letter in post.letters]
    assert subjects == ["つなぎ: 返事待ち 385-267-52", "つなぎ: お知らせ 385-267-52 ほか1件", "つなぎ: お知らせ"]


async def test_a_letter_says_that_a_machine_wrote_it_and_which_one_it_is(post: Post) -> None:
    await mail(post.port).send(parcel())
    letter = post.letters[0]
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Message-ID"] == f"<{KEY}@town.example>"
    assert letter["Date"] == "Mon, 01 Jun 2026 00:00:00 +0000"
    assert str(letter["From"]) == "つなぎ <tsunagi@town.example>"


async def test_the_same_letter_has_the_same_name(post: Post) -> None:
    adapter = mail(post.port)
    await adapter.send(parcel())
    await adapter.send(parcel())
    assert len({letter["Message-ID"] for letter in post.letters}) == 1


# -- what became of it


CASES: tuple[tuple[str, dict[str, Any], type, str], ...] = (
    ("a full greylist defers the recipient", {"says": {"RCPT": "450 4.2.0 later"}}, Later, "450"),
    ("a mailbox that is not there", {"says": {"RCPT": "550 5.1.1 nobody"}}, Gone, "550"),
    ("a mailbox that is full for good", {"says": {"RCPT": "552 5.2.2 full"}}, Gone, "552"),
    ("a sender deferred", {"says": {"MAIL": "451 4.3.0 later"}}, Later, "451"),
    ("a sender refused", {"says": {"MAIL": "553 5.7.1 not you"}}, Refused, "553"),
    ("a letter deferred", {"says": {"DATA": "452 4.3.1 no room"}}, Later, "452"),
    ("a letter refused", {"says": {"DATA": "554 5.6.0 no"}}, Refused, "554"),
    ("a busy greeting", {"says": {"GREETING": "421 4.3.2 busy"}}, Later, "421"),
    ("a greeting that sends us away", {"says": {"GREETING": "554 5.3.2 no"}}, Later, "554"),
    ("a greeting that is none", {"says": {"GREETING": "HTTP/1.1 400 Bad Request"}}, Later, ""),
    ("silence at the greeting", {"hangs": {"GREETING"}}, Later, ""),
    ("silence at the name", {"hangs": {"EHLO"}}, Later, ""),
    ("silence at the sender", {"hangs": {"MAIL"}}, Later, ""),
    ("silence at the recipient", {"hangs": {"RCPT"}}, Later, ""),
    ("silence after the letter", {"hangs": {"AFTER"}}, Unknown, ""),
    ("a line cut at the greeting", {"hangs_up": {"GREETING"}}, Later, ""),
    ("a line cut at the recipient", {"hangs_up": {"RCPT"}}, Later, ""),
    ("a line cut after the letter", {"hangs_up": {"AFTER"}}, Unknown, ""),
    ("nonsense after the letter", {"says": {"AFTER": "what was that"}}, Unknown, ""),
)


@pytest.mark.parametrize(("told", "wanted", "why"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_every_answer_comes_to_something(post: Post, told: dict[str, Any], wanted: type, why: str) -> None:
    for name, what in told.items():
        setattr(post, name, what)
    became = await mail(post.port).send(parcel())
    assert type(became) is wanted, became
    assert why in str(became)
    assert len(post.letters) == (wanted is Unknown)
    post.says, post.hangs, post.hangs_up = {}, set(), set()
    assert await mail(post.port).send(parcel()) == Sent(KEY)


async def test_nobody_at_the_door_is_later() -> None:
    async with served() as gone:
        port = gone.port
    became = await mail(port).send(parcel())
    assert isinstance(became, Later) and became.after >= timedelta(minutes=1)
    nowhere = Mail("smtp://no-such-host.invalid", "a@b.example", "https://x.example", answer=2)
    assert isinstance(await nowhere.send(parcel()), Later)


async def test_a_server_that_dawdles_at_every_step_does_not_outlive_the_lease(post: Post) -> None:
    post.hangs = {"RCPT"}
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert isinstance(await mail(post.port, answer=60, whole=0.3).send(parcel()), Later)
    assert loop.time() - begun < 3


async def test_a_silent_goodbye_changes_nothing(post: Post) -> None:
    post.hangs_up = {"QUIT"}
    assert await mail(post.port).send(parcel()) == Sent(KEY)


async def test_one_hanging_letter_holds_up_no_other(post: Post) -> None:
    post.hangs = {"AFTER"}
    stuck = asyncio.create_task(mail(post.port, answer=1).send(parcel()))
    await post.came.wait()
    post.hangs = set()
    assert await mail(post.port).send(parcel(to="mori@hibari.example")) == Sent(KEY)
    assert isinstance(await stuck, Unknown)


# -- who may write


async def test_a_password_that_is_no_longer_right_waits_for_somebody_to_mend_it(caplog: Any) -> None:
    async with served(knows=("tsunagi", "open:sesame")) as post:
        assert await mail(post.port, user="tsunagi:open%3Asesame").send(parcel()) == Sent(KEY)
        became = await mail(post.port, user="tsunagi:old").send(parcel())
        assert isinstance(became, Later) and became.why == "auth"
    assert "sesame" not in caplog.text and "old" not in caplog.text and "ishii" not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of loopback, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def offering(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("covered", [False, True], ids=["STARTTLS", "smtps"])
async def test_tls_is_used_when_it_is_offered(certificate: Path, covered: bool, monkeypatch: Any) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with served(tls=offering(certificate), covered=covered, knows=("tsunagi", "p")) as post:
        adapter = mail(post.port, user="tsunagi:p", answer=5, scheme="smtps" if covered else "smtp")
        assert await adapter.send(parcel()) == Sent(KEY)
        assert post.logins == [True]


@pytest.mark.parametrize("covered", [False, True], ids=["STARTTLS", "smtps"])
async def test_a_server_that_nobody_vouches_for_gets_no_letter(certificate: Path, covered: bool) -> None:
    async with served(tls=offering(certificate), covered=covered) as post:
        became = await mail(post.port, answer=5, scheme="smtps" if covered else "smtp").send(parcel())
        assert isinstance(became, Later)
        assert not post.letters


def test_a_password_goes_nowhere_uncovered_but_to_this_machine() -> None:
    there, here = server_of("smtp://u:p@mail.example"), server_of("smtp://u:p@127.0.0.1:2525")
    assert there and there.start_tls is True and there.port == 587
    assert here and here.start_tls is None
    covered = server_of("smtps://u:p%40x@mail.example")
    assert covered and (covered.port, covered.tls, covered.password, covered.start_tls) == (465, True, "p@x", False)


# -- settings


def test_it_says_what_is_missing() -> None:
    assert not mail().missing()
    assert len(Mail("", "", "").missing()) == 3
    assert len(Mail("http://x", "town", "javascript:1").missing()) == 3
    for url in ("smtp://", "smtp://h:99999999", "smtp://[::1", "", "smtp:/x"):
        assert server_of(url) is None, url


async def test_without_settings_nothing_is_lost() -> None:
    assert isinstance(await Mail("", "", "").send(parcel()), Later)


def test_it_is_a_platform_like_every_other() -> None:
    adapter: Outside = mail()
    assert REGISTRY["mail"].place == f"{Mail.__module__}:{Mail.__name__}"
    assert not adapter.inside and not adapter.caps.edit


# -- nothing breaks out


@pytest.mark.parametrize(
    "to",
    [
        "", "ishii", "a@b\r\nBcc: c@d.example", "a@b.example, c@d.example", "<a@b.example>", "a b@c.example", "a@b@c.example",
        "石井@例え.jp", "a@b.example>\r\nRCPT TO:<c@d.example", ".a@b.example", "a..b@c.example", "a@-", "a@b.example\0",
    ],
)  # fmt: skip
async def test_an_address_that_is_none_is_gone(post: Post, to: str) -> None:
    became: Delivery = await mail(post.port).send(parcel(to=to))
    assert became == Gone("address")
    assert not post.letters and not is_mailbox(to)


@pytest.mark.parametrize("key", ["", "a\r\nX-Evil: 1", "a b", "<x>", "x@y", "a" * 65])
async def test_a_key_that_is_none_is_refused(post: Post, key: str) -> None:
    assert await mail(post.port).send(parcel(key=key)) == Refused("key")
    assert not post.letters


NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from([
        "👩‍👩‍👧‍👦" * 9, "e\u0301\u0301\u0301" * 40, "\u202eevil\u202c", "שלום עולם", "<!channel> & <b>", "a\r\nBcc: x@y.example",
        "\r\n.\r\nMAIL FROM:<x@y.example>", "385-267-52", "x" * 5_000, "あ" * 5_000, ".\n..\n.", "\0\x07\x1b[31m", "\ud83d", "=?utf-8?q?x?=",
        "https://evil.example/go/AAAA", "\u2028\u2029\u0085\x0b\x0c", "   ", "From x", "-- ",
    ]),
)  # fmt: skip
MESSAGES = st.builds(
    Message,
    NASTY,
    st.none() | NASTY,
    st.lists(st.tuples(NASTY, NASTY), max_size=25).map(tuple),
    st.lists(st.builds(Choice, NASTY, NASTY, st.just("plain"), st.sampled_from(["", f"{TOKEN}0", f"{TOKEN}17"])), max_size=30).map(tuple),
)  # fmt: skip


FULL = tuple(Choice("👨‍👩‍👧‍👦" * 40, "x", token=f"{TOKEN}0") for _ in range(30))


@given(MESSAGES)
@example(Message("<!channel>" * 500, "👨‍👩‍👧‍👦" * 700, (("e\u0301\u0323" * 20, "\u202eمرحبا" * 700),) * 25, FULL))
def test_no_message_breaks_its_letter(message: Message) -> None:
    adapter = mail()
    fitted = fit(message, adapter.caps)
    shown = adapter.render(fitted)
    assert re.fullmatch(r"つなぎ: (返事待ち|お知らせ)( \d{3}-\d{3}-\d{2}( ほか\d+件)?)?", shown["subject"])
    assert len(shown["text"]) <= 2 * adapter.caps.text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown["text"])
    wire = adapter._letter("ishii@tomoshibi.example", parcel(fitted)).as_bytes()
    head, _, body = wire.partition(b"\r\n\r\n")
    assert head.isascii() and body.isascii()
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert names == [
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"X-Auto-Response-Suppress", b"Content-Type",
        b"Content-Transfer-Encoding", b"MIME-Version",
    ]  # fmt: skip
    assert b"\r\n." not in wire
    links = [line for line in shown["text"].splitlines() if line.endswith(f"/go/{TOKEN}0")]
    assert len(links) == sum(choice.token == f"{TOKEN}0" for choice in fitted.choices)


@given(st.text())
def test_a_mailbox_is_one_line_of_ascii(text: str) -> None:
    assert not is_mailbox(text) or (text.isascii() and text.isprintable() and " " not in text and text.count("@") == 1)


async def test_the_nastiest_letter_arrives_as_one(post: Post) -> None:
    dots = Message("\r\n.\r\nMAIL FROM:<x@y.example>\r\n" + "あ" * 5_000, "a\r\nBcc: x@y.example", (), OFFER.choices)
    assert await mail(post.port).send(parcel(dots)) == Sent(KEY)
    assert len(post.letters) == 1
    assert post.letters[0]["Bcc"] is None
    assert post.letters[0].get_content().count("あ") == 5_000


def test_a_button_without_a_name_leads_to_the_door() -> None:
    shown = mail().render(replace(OFFER, choices=(Choice("ひらく", ""),)))
    assert shown["text"].endswith("ひらく: https://tsunagi.town.example/\n")


def test_phone_numbers_are_no_case_numbers() -> None:
    assert NUMBER.findall("04-0000-0010 090-1234-5678 385-267-52-1 1385-267-52") == []
