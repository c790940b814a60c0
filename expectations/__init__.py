"""Great Expectations suites as code, one module per table; jobs run them before they publish."""
