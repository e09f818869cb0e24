"""The devnet in pure Python: py-evm behind JSON-RPC, a process of its own.

For machines where anvil cannot be had. Only `__main__` imports py-evm, through `evm`: it takes
seconds, and raises Python's recursion limit for the whole process.
"""
