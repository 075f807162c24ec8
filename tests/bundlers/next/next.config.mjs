/** `EXPORT` asks for static files, so that the tests serve them as they serve the others'; without it `next start` serves what was built. */
export default process.env.EXPORT ? { output: "export", distDir: "dist" } : {};
