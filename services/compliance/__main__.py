"""`python -m services.compliance`: this service alone."""

from services.compliance.app import service

if __name__ == "__main__":
    service.run()
