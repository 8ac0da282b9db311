// The address of the service, without /classify. `make deploy-web` writes the deployed address here.
window.ENDPOINT = "http://localhost:3000/dev";
