"""`python -m services.discovery`: this service alone."""

from services.discovery.app import service

if __name__ == "__main__":
    service.run()
