#!/bin/sh
# Packs a folder into a compressed archive and writes its checksum beside it.
# Usage: pack.sh FOLDER ARCHIVE
tar -cf - -C "$1" . | gzip >"$2"
cksum <"$2" >"$2.sum"
echo packed
