"""`python -m training suite`: edits that people want, painted by script on photographs, made through the real road and
measured; sheets to look at, and a file for verdicts. See docs/suite.md."""
