"""The SQLite file: connections, the one writer thread, readers, migrations, backup."""
