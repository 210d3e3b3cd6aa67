/** Shader texts of a standalone layer, by path: its own, and the engine's that it uses. */
import { layerShaderText } from '../../gpu/layer-shaders.gen.ts';
import { shaderText } from '../../gpu/shaders.gen.ts';

export const layerShaders: Readonly<Record<string, string>> = { ...shaderText, ...layerShaderText };
