// @aws-sdk/client-rekognition: life cycle of a collection. Endpoint, region and access key come from the environment.
// Writes the results as JSON on the last line.

import { readFileSync } from "node:fs";
import {
  CompareFacesCommand,
  CreateCollectionCommand,
  DeleteCollectionCommand,
  DeleteFacesCommand,
  DescribeCollectionCommand,
  DetectFacesCommand,
  DetectLabelsCommand,
  IndexFacesCommand,
  RekognitionClient,
  SearchFacesByImageCommand,
  SearchFacesCommand,
  paginateListFaces,
} from "@aws-sdk/client-rekognition";

const client = new RekognitionClient({});
const image = (name) => ({ Bytes: readFileSync(`${process.env.PHOTOS}/${name}.jpg`) });
const place = { CollectionId: "node" };

async function errorOf(command, sender = client) {
  try {
    await sender.send(command);
    return { name: "none" };
  } catch (error) {
    return { name: error.name, message: error.message, status: error.$metadata?.httpStatusCode };
  }
}

async function index(name, options = {}) {
  const command = new IndexFacesCommand({ ...place, Image: image(name), DetectionAttributes: ["ALL"], ...options });
  return (await client.send(command)).FaceRecords;
}

async function listed() {
  const faces = [];
  let pages = 0;
  for await (const page of paginateListFaces({ client, pageSize: 1 }, place)) {
    faces.push(...page.Faces);
    pages += 1;
  }
  return { pages, ids: faces.map((face) => face.ExternalImageId) };
}

const created = await client.send(new CreateCollectionCommand(place));
const [first] = await index("kofi", { ExternalImageId: "Kofi" });
await index("kofi-turned", { ExternalImageId: "Kofi" });
await index("serena", { ExternalImageId: "Serena" });
const stranger = new RekognitionClient({ credentials: { accessKeyId: "FACERECOGNITIONREADER", secretAccessKey: "another" } });
const results = {
  created: created.StatusCode,
  createdAgain: await errorOf(new CreateCollectionCommand(place)),
  described: await client.send(new DescribeCollectionCommand(place)),
  listed: await listed(),
  found: (await client.send(new SearchFacesByImageCommand({ ...place, Image: image("kofi-again") }))).FaceMatches,
  similar: (await client.send(new SearchFacesCommand({ ...place, FaceId: first.Face.FaceId }))).FaceMatches,
  noFace: await errorOf(new SearchFacesByImageCommand({ ...place, Image: image("wall") })),
  compared: await client.send(new CompareFacesCommand({ SourceImage: image("kofi"), TargetImage: image("pair") })),
  detected: (await client.send(new DetectFacesCommand({ Image: image("pair"), Attributes: ["ALL"] }))).FaceDetails,
  unknownOperation: await errorOf(new DetectLabelsCommand({ Image: image("kofi") })),
  wrongSecret: await errorOf(new DescribeCollectionCommand(place), stranger),
  deletedFaces: (await client.send(new DeleteFacesCommand({ ...place, FaceIds: [first.Face.FaceId] }))).DeletedFaces,
  deleted: (await client.send(new DeleteCollectionCommand(place))).StatusCode,
  deletedAgain: await errorOf(new DeleteCollectionCommand(place)),
  firstId: first.Face.FaceId,
};
console.log(JSON.stringify(results));
