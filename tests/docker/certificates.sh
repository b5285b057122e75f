#!/bin/sh
# Makes certificates of a day for an engine on loopback and for its client: ca.pem, cert.pem, key.pem as DOCKER_CERT_PATH
# wants them, and server.pem with certificate and key.
# Usage: certificates.sh FOLDER
set -eu
cd "$1"
request() { # NAME SUBJECT EXTENSIONS
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
    printf '%s\n' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 1 \
    -subj '/CN=backspace test authority' 2>/dev/null
request server /CN=engine 'subjectAltName=IP:127.0.0.1
extendedKeyUsage=serverAuth'
request client /CN=backspace 'extendedKeyUsage=clientAuth'
cat server.crt server.key >server.pem
mv client.crt cert.pem
mv client.key key.pem
