// Leaves out of the reference what no application can name: bases that the package does not export. What is inherited from them stays.

import { Converter, ReflectionKind } from "typedoc";

/** Entries as an application imports them, and where each is. */
const ENTRIES = { index: "voxrelay", react: "voxrelay/react", element: "voxrelay/element", preflight: "voxrelay/preflight" };

/** @param {import("typedoc").Application} application */
export function load(application) {
  application.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      if (reflection.kindOf(ReflectionKind.Module)) reflection.name = ENTRIES[reflection.name] ?? reflection.name;
      if (!reflection.kindOf(ReflectionKind.ClassOrInterface)) continue;
      const named = reflection.extendedTypes?.filter((type) => type.type === "reference" && (type.reflection || type.package !== "voxrelay") && !/^(Omit|Readonly)$/.test(type.name));
      if (named?.length) reflection.extendedTypes = named;
      else delete reflection.extendedTypes;
      delete reflection.typeHierarchy;
    }
    for (const reflection of Object.values(project.reflections)) {
      for (const field of ["inheritedFrom", "overwrites"]) {
        if (reflection[field] && !reflection[field].reflection) delete reflection[field];
      }
    }
  });
}
