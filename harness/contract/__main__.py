"""`python -m harness.contract > docs/data.md`: write the page about the data of a campaign."""

from harness.contract import data_docs

if __name__ == "__main__":
    print(data_docs.page(), end="")
