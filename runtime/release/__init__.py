"""The ledger of releases: which four AMIs belong together and what is in them."""
