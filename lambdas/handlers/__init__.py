"""The AWS edge: one thin module per Lambda. Parse the event, call one function, map the result."""
