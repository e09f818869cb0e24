"""One job between a requester and a provider: ask, quote, accept, chunks, vouchers, receipt.

Rules: protocols/exchange/README.md. Both ends run the one table of `table.py`.
"""
