"""Attacks on votes ledgers: ledgers to attack, what somebody does who owns the file, and what verifiers then say."""
