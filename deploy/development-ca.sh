#!/bin/sh
# Makes a certificate authority for development, and certificates of it: one for the admin service's gRPC, and one for each gateway.
#
#   deploy/development-ca.sh DIRECTORY HOST GATEWAY...
#
# HOST is the name or the IPv4 address in the gateways' admin_grpc, such as localhost. GATEWAY is a name of your choice. The keys are not
# encrypted: keep the directory to yourself, and use an authority of your own in production. Run again, it makes what is missing.
set -eu
umask 077

if [ "$#" -lt 3 ]; then
    sed -n '4s/^# *//p' "$0" >&2
    exit 64
fi
directory=$1 host=$2
shift 2
refuse() {
    echo "development-ca.sh: $1" >&2
    exit 64
}
case $host in
    "" | *[!A-Za-z0-9.-]*) refuse "HOST must be a name or an IPv4 address: $host" ;;
esac
for gateway in "$@"; do
    case $gateway in
        "" | -* | *[!A-Za-z0-9_-]*) refuse "a gateway's name has letters, digits, _ and -: $gateway" ;;
        admin | ca) refuse "files with this name belong to the admin service or the authority: $gateway" ;;
    esac
done
command -v openssl >/dev/null || refuse "install openssl first"
mkdir -p "$directory"
cd "$directory"

# What openssl says is shown only if it fails.
openssl() {
    if ! command openssl "$@" 2>openssl.log; then
        cat openssl.log >&2
        exit 1
    fi
    rm openssl.log
}

new_key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
if [ ! -e ca.crt ]; then
    # shellcheck disable=SC2086
    openssl req -x509 $new_key -days 365 -subj "/CN=Chat relay development authority" -keyout ca.key -out ca.crt
fi

# issue NAME SUBJECT EXTENSIONS
issue() {
    if [ -e "$1.crt" ]; then
        return
    fi
    # shellcheck disable=SC2086
    openssl req $new_key -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
    printf '%s\n' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.ext" -out "$1.crt"
    rm "$1.csr" "$1.ext"
}

case $host in
    *[!0-9.]*) name="DNS:$host" ;;
    *) name="IP:$host" ;;
esac
if [ -e admin.crt ] && ! openssl x509 -in admin.crt -noout -subject -nameopt RFC2253 | grep -qx "subject=CN=$host"; then
    refuse "admin.crt is of another host: remove it to make one for $host"
fi
issue admin "$host" "subjectAltName=$name"
for gateway in "$@"; do
    issue "$gateway" "$gateway" "extendedKeyUsage=clientAuth"
done

at=$(pwd)
cat <<EOF
For the admin service:
  ADMIN_GRPC_TLS_CERT_FILE=$at/admin.crt
  ADMIN_GRPC_TLS_KEY_FILE=$at/admin.key
  ADMIN_GRPC_CLIENT_CA_FILE=$at/ca.crt
EOF
for gateway in "$@"; do
    cat <<EOF
For $gateway:
  GATEWAY_ADMIN_GRPC=https://$host:7813
  GATEWAY_ADMIN_GRPC_CA_FILE=$at/ca.crt
  GATEWAY_ADMIN_GRPC_CERT_FILE=$at/$gateway.crt
  GATEWAY_ADMIN_GRPC_KEY_FILE=$at/$gateway.key
EOF
done
