"""What the HTTP protocols share: routes, exchanges, credentials in headers, errors on the wire."""
