#!/bin/sh
# Makes an authority of two days, and a certificate of it for the hosts that documents name: ca.pem, internet.pem, internet.key.
# Usage: certificates.sh FOLDER
set -eu
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 \
    -subj '/CN=backspace test authority' 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout internet.key -out internet.csr -subj /CN=internet 2>/dev/null
printf 'subjectAltName=DNS:github.com,DNS:api.github.com,DNS:api.anthropic.com,DNS:sh.rustup.rs\nextendedKeyUsage=serverAuth\n' >extensions
openssl x509 -req -in internet.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out internet.pem 2>/dev/null
chmod 0644 internet.key
