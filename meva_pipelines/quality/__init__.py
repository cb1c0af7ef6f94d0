"""WHAT MUST BE TRUE: expectation suites as data, and the one judge that runs them."""
