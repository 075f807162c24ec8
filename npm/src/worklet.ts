import { registerProcessors } from "./processors.js";

registerProcessors();
