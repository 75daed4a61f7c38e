"""Connections under TLS: one context, names and signatures checked, nothing left open when it fails."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rune.errors import TimedOut, Unavailable
from rune.net import Limits, Outlet, dial
from tests.net.wires import answer, polite, raw

DEADLINE = 30.0


def certificate(folder, *names):
    """A certificate that signs itself, for these names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    others = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(others), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{names[0]}.crt", folder / f"{names[0]}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A certificate for this machine that is trusted as one of the system would be."""
    crt, key = certificate(tmp_path, "localhost", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(crt))
    dial.tls.cache_clear()
    yield crt, key
    dial.tls.cache_clear()


def serving(crt, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return raw(polite, ssl=context)


async def get(outlet, url):
    async with asyncio.timeout(DEADLINE), outlet.request("GET", url, headers={}) as response:
        return await outlet.body(response)


async def test_one_handshake_and_one_context_for_many_exchanges_of_many_upstreams(trusted, monkeypatch):
    made = []
    create = ssl.create_default_context

    def count(*rest, **options):
        made.append(rest)
        return create(*rest, **options)

    monkeypatch.setattr(ssl, "create_default_context", count)
    async with serving(*trusted) as site:
        one, two = Outlet("one"), Outlet("two")
        for _ in range(20):
            for outlet, host in ((one, "localhost"), (two, "127.0.0.1")):
                assert await get(outlet, f"https://{host}:{site.port}/") == b"hello"
        assert site.accepted == 2
        assert len(made) == 1
        await one.close()
        await two.close()


async def test_certificates_of_strangers_and_for_other_names_are_refused(trusted, tmp_path, monkeypatch):
    stranger = certificate(tmp_path, "127.0.0.1", "localhost")
    async with serving(*stranger) as site:
        outlet = Outlet("web")
        with pytest.raises(Unavailable, match=r"^web: no secure connection to localhost:.*certificate"):
            await get(outlet, f"https://localhost:{site.port}/")
        assert len(outlet._pool) == 0
        await outlet.close()
    other = certificate(tmp_path, "other.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))
    dial.tls.cache_clear()
    async with serving(*other) as site:
        outlet = Outlet("web")
        with pytest.raises(Unavailable, match=r"^web: no secure connection to localhost:.*mismatch"):
            await get(outlet, f"https://localhost:{site.port}/")
        assert not site.heads
        await outlet.close()
    context = dial.tls()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_a_handshake_without_end_is_given_up(trusted):
    async def mute(site, reader, writer):
        await reader.read()
        await reader.read()

    async with raw(mute) as site:
        outlet = Outlet("web", limits=Limits(connect=0.1))
        with pytest.raises(TimedOut, match="web: no connection in time"):
            await get(outlet, f"https://localhost:{site.port}/")
        async with asyncio.timeout(DEADLINE):
            while site.closed < site.accepted:
                await asyncio.sleep(0.01)
        await outlet.close()


async def test_a_body_under_tls_is_whole_in_every_framing(trusted):
    crt, key = trusted
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    big = b"x" * (3 << 20)

    async def serve(site, reader, writer):
        while head := await site.request(reader):
            if b"/chunks" in head:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(big))
                writer.write(big + b"\r\n0\r\n\r\n")
            elif b"/close" in head:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + big)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return
            else:
                writer.write(answer(big))
            await writer.drain()

    async with raw(serve, ssl=context) as site:
        outlet = Outlet("web")
        for path in ("length", "chunks", "close"):
            assert await get(outlet, f"https://localhost:{site.port}/{path}") == big
        assert site.accepted == 1
        await outlet.close()
