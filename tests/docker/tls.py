"""Serves an engine's socket over TLS on loopback, as a remote engine is served, to clients with a certificate.

Usage: tls.py CERTIFICATES SOCKET; prints its port.
"""

import socket
import ssl
import sys
import threading

PIECE_BYTES = 64 << 10


def forward(source, target):
    try:
        while piece := source.recv(PIECE_BYTES):
            target.sendall(piece)
    except OSError:
        pass
    # TLS knows no half of a connection: the end of one direction is that of both.
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(context, client, path):
    try:
        client.settimeout(30)
        client = context.wrap_socket(client, server_side=True)
        client.settimeout(None)
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(path)
    except OSError as error:
        print(error, file=sys.stderr)
        client.close()
        return
    threading.Thread(target=forward, args=(client, engine), daemon=True).start()
    forward(engine, client)


def main(certificates, path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificates}/server.pem")
    context.load_verify_locations(f"{certificates}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(context, client, path), daemon=True).start()


main(*sys.argv[1:])
