"""The lab's own test: what each part of it promises, checked with boto3. selfcheck.py runs it."""
