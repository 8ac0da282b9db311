// The endpoint that the page calls: what /classify comes after. `make deploy-web` writes the deployed one here.
window.ENDPOINT = "http://localhost:3000/dev";
