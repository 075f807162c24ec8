// The glue, and the engine that it makes: in one file, which Worker and page load, so that the page's own has none of it.

export { serve } from "./engine.js";
