"""Captures what Devo's own sender puts on the wire: plain.bin and zip.bin, with which tests compare ours.

    pip install devo-sdk==7.0.2 && python capture.py

The events are those of `compression.rs`. The files change only with zlib's compressed bytes; the members and what is in
them are what counts.
"""

import datetime
import pathlib
import socket
import ssl
import tempfile
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from devo.sender import Sender, SenderConfigSSL

FOLDER = pathlib.Path(__file__).parent
HEAD = {"hostname": b"HOST", "date": b"2023-06-02 10:11:12.123"}
EVENTS = ['{"n":%d,"pad":"%s"}' % (n, "é" * (n * 37 % 200)) for n in range(40)]


def certificate(folder):
    """A certificate that is its own authority, for both sides."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(cert_file), str(key_file)


def capture(cert, key, send):
    """What one connection of the sender carries."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    received = bytearray()

    def receive():
        connection = context.wrap_socket(listener.accept()[0], server_side=True, suppress_ragged_eofs=True)
        while block := connection.recv(65536):
            received.extend(block)
        connection.close()

    receiver = threading.Thread(target=receive)
    receiver.start()
    address = ("localhost", listener.getsockname()[1])
    sender = Sender(SenderConfigSSL(address=address, key=key, cert=cert, chain=cert))
    send(sender)
    sender.close()
    receiver.join(30)
    return bytes(received)


def plain(sender):
    for event in EVENTS:
        sender.send_bytes(b"drp.cloudsek.xvigil.alerts", event.encode(), **HEAD)


def zipped(sender):
    sender.buffer_size(2048)
    sender.compression_level(6)
    for event in EVENTS:
        sender.send_bytes(b"drp.cloudsek.xvigil.alerts", event.encode(), zip=True, **HEAD)
    sender.flush_buffer()


with tempfile.TemporaryDirectory() as folder:
    files = certificate(pathlib.Path(folder))
    (FOLDER / "plain.bin").write_bytes(capture(*files, plain))
    (FOLDER / "zip.bin").write_bytes(capture(*files, zipped))
