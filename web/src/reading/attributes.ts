// Owns which attributes the pictures of a series are made of: only these are asked for, so that the first of them is soon there
// on a thin line. What reads another one has to name it here; a test watches over it.

/** Tags of an object's top level, as `seriesOf` reads them. */
export const NEEDED: readonly string[] = [
  "00080016", // SOPClassUID
  "00080018", // SOPInstanceUID
  "00080060", // Modality
  "00082144", // RecommendedDisplayFrameRate
  "00083002", // AvailableTransferSyntaxUID
  "00100010", // PatientName
  "00180015", // BodyPartExamined
  "00180040", // CineRate
  "00181063", // FrameTime
  "00181065", // FrameTimeVector
  "00181164", // ImagerPixelSpacing
  "00186011", // SequenceOfUltrasoundRegions
  "00200013", // InstanceNumber
  "00200032", // ImagePositionPatient
  "00200037", // ImageOrientationPatient
  "00200052", // FrameOfReferenceUID
  "00280002", // SamplesPerPixel
  "00280004", // PhotometricInterpretation
  "00280006", // PlanarConfiguration
  "00280008", // NumberOfFrames
  "00280010", // Rows
  "00280011", // Columns
  "00280030", // PixelSpacing
  "00280034", // PixelAspectRatio
  "00280100", // BitsAllocated
  "00280101", // BitsStored
  "00280103", // PixelRepresentation
  "00280A02", // PixelSpacingCalibrationType
  "00281050", // WindowCenter
  "00281051", // WindowWidth
  "00281052", // RescaleIntercept
  "00281053", // RescaleSlope
  "00281054", // RescaleType
  "00281101", // RedPaletteColorLookupTableDescriptor
  "00281201", // RedPaletteColorLookupTableData
  "00281202", // GreenPaletteColorLookupTableData
  "00281203", // BluePaletteColorLookupTableData
  "00282110", // LossyImageCompression
  "00283000", // ModalityLUTSequence
  "00283010", // VOILUTSequence
  "52009229", // SharedFunctionalGroupsSequence
  "52009230", // PerFrameFunctionalGroupsSequence
  "7FE00008", // FloatPixelData
  "7FE00009", // DoubleFloatPixelData
];

/** What lies within sequences or tables, and may be large. */
const LARGE = /^(5200|00186011|00181065|002811|002812|002830|7FE0)/;

/**
 * Of the first object of each series these are asked for together with the list of series: enough for one picture of which
 * values are values by slope and intercept, as every CT has them.
 */
export const OF_FIRST: readonly string[] = NEEDED.filter((tag) => !LARGE.test(tag));
