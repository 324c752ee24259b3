"""`python -m services.registry`: this service alone."""

from services.registry.app import service

if __name__ == "__main__":
    service.run()
