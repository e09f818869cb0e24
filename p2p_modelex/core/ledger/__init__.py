"""What is owed and promised: channels, lanes, cumulative vouchers, debts, when to settle.

Rules: protocols/ledger/README.md.
"""
