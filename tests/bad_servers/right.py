"""No bug: what passes here does so because of the suite, not because of the base."""

from common import Server

if __name__ == "__main__":
    Server.main()
