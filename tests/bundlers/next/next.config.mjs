/** Static files, so that the tests serve them as they serve the others'. */
export default { output: "export", distDir: "dist" };
