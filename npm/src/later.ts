// What a call needs later, or few calls need: it is fetched then.

export { QualityMeter } from "./quality.js";
export { sendFeedback } from "./feedback.js";
