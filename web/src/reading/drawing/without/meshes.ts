// Owns what stands in the bundle for the readers of surface meshes that Cornerstone brings along, which no study here has.

export default {
  newInstance(): never {
    throw new Error("meshes are not read here");
  },
};
