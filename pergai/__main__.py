"""`python -m pergai` is `pergai`."""

from pergai.cli import main

if __name__ == "__main__":
    main()
