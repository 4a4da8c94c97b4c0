"""A witness: it remembers how far each log has come and cosigns only what goes on from there (C2SP tlog-witness)."""
