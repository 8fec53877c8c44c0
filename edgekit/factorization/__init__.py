"""Low-rank factorization: one layer becomes two or three thinner ones, cheaper in all where the ranks are low."""
